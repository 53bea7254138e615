"""A graph of ONNX names no other file, wherever in it a tensor stands."""

import pytest

from ner.runtime.directory import DATA_LOCATION, EXTERNAL_DATA, MESSAGES, check_graph

onnx = pytest.importorskip("onnx")


def elsewhere(name="secret"):
    """A tensor whose numbers lie in another file."""
    tensor = onnx.helper.make_tensor("t", onnx.TensorProto.FLOAT, [1], [1.0])
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=name)
    return tensor


def located():
    """A tensor that says no more than that its numbers lie elsewhere."""
    tensor = onnx.helper.make_tensor("t", onnx.TensorProto.FLOAT, [1], [1.0])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    return tensor


def graph_of(*nodes, initializer=()):
    return onnx.helper.make_graph(list(nodes), "g", [], [], initializer=list(initializer))


def model_of(graph, **more):
    return onnx.helper.make_model(graph, **more)


def constant(**attribute):
    return onnx.helper.make_node("Constant", [], ["c"], **attribute)


def sparse(tensor, *, indices=False):
    sound = onnx.helper.make_tensor("i", onnx.TensorProto.INT64, [1], [0])
    made = onnx.SparseTensorProto(dims=[4])
    made.values.CopyFrom(sound if indices else tensor)
    made.indices.CopyFrom(tensor if indices else sound)
    return made


def with_function(tensor, *, default=False):
    made = onnx.helper.make_function("d", "f", [], ["c"], [constant(value=tensor)], [])
    if default:
        made.ClearField("node")
        made.attribute_proto.add(name="a", type=onnx.AttributeProto.TENSOR).t.CopyFrom(tensor)
    return model_of(graph_of(), functions=[made])


def in_branch(tensor):
    inner = graph_of(constant(value=tensor))
    return onnx.helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=graph_of())


def in_training(tensor):
    made = model_of(graph_of())
    made.training_info.add().algorithm.CopyFrom(graph_of(initializer=[tensor]))
    return made


def sparsely(tensor, **where):
    made = model_of(graph_of())
    made.graph.sparse_initializer.append(sparse(tensor, **where))
    return made


PLACES = {
    "initializer": lambda t: model_of(graph_of(initializer=[t])),
    "constant": lambda t: model_of(graph_of(constant(value=t))),
    "constants": lambda t: model_of(graph_of(onnx.helper.make_node("X", [], [], values=[t]))),
    "branch": lambda t: model_of(graph_of(in_branch(t))),
    "branch in a branch": lambda t: model_of(
        graph_of(onnx.helper.make_node("Loop", [], [], body=graph_of(in_branch(t))))
    ),
    "branches": lambda t: model_of(
        graph_of(onnx.helper.make_node("X", [], [], bodies=[graph_of(initializer=[t])]))
    ),
    "sparse values": sparsely,
    "sparse indices": lambda t: sparsely(t, indices=True),
    "sparse constant": lambda t: model_of(graph_of(constant(sparse_value=sparse(t)))),
    "function": with_function,
    "default of a function": lambda t: with_function(t, default=True),
    "training": in_training,
}


@pytest.mark.parametrize("tensor", [elsewhere, located])
@pytest.mark.parametrize("place", PLACES)
def test_a_graph_names_no_other_file(place, tensor):
    """Wherever a tensor stands, and whatever a version of onnxruntime would make of it."""
    sound = onnx.helper.make_tensor("t", onnx.TensorProto.FLOAT, [1], [1.0])
    check_graph(PLACES[place](sound).SerializeToString())
    with pytest.raises(ValueError, match="refers to another file"):
        check_graph(PLACES[place](tensor()).SerializeToString())


def test_every_message_of_onnx_that_may_hold_a_tensor_is_walked():
    """Against the descriptors of the installed onnx: no field is forgotten, no number wrong."""
    names = {
        "model": "ModelProto",
        "training": "TrainingInfoProto",
        "graph": "GraphProto",
        "function": "FunctionProto",
        "node": "NodeProto",
        "attribute": "AttributeProto",
        "sparse": "SparseTensorProto",
        "tensor": "TensorProto",
    }
    kinds = {name: kind for kind, name in names.items()}
    for kind, name in names.items():
        fields = getattr(onnx, name).DESCRIPTOR.fields
        inner = {f.number: f.message_type.name for f in fields if f.message_type is not None}
        wanted = {number: kinds[one] for number, one in inner.items() if one in kinds}
        assert wanted == MESSAGES[kind], name
    numbers = {f.name: f.number for f in onnx.TensorProto.DESCRIPTOR.fields}
    assert (numbers["external_data"], numbers["data_location"]) == (EXTERNAL_DATA, DATA_LOCATION)


@pytest.mark.parametrize(
    "graph",
    [
        b"\x3a",  # a message without a length
        b"\x3a\x05\x0a",  # longer than the file
        b"\x00\x01",  # field 0
        b"\x3b",  # a group
        b"\x3d\x00",  # four bytes, of which one is there
        b"\x38" + b"\xff" * 11,  # an integer without an end
        b"\xba\x80\x80\x80\x80\x01\x00",  # the number of a field beyond 32 bits
    ],
)
def test_bytes_that_are_no_messages_are_refused(graph):
    with pytest.raises(ValueError, match="not a graph"):
        check_graph(graph)


def test_integers_are_read_as_protobuf_reads_them():
    """However many bytes they take, and without what does not fit 32 bits."""
    for location in (b"\x01", b"\x81\x80\x00", b"\x81\x80\x80\x80\x10"):
        tensor = b"\x70" + location
        graph = b"\x2a" + bytes([len(tensor)]) + tensor
        assert onnx.TensorProto.FromString(tensor).data_location == onnx.TensorProto.EXTERNAL
        with pytest.raises(ValueError, match="refers to another file"):
            check_graph(b"\x3a" + bytes([len(graph)]) + graph)


def test_messages_are_nested_no_deeper_than_a_limit():
    def nested(depth):
        graph = b""
        for number in range(depth):
            kind = b"\x0a\x2a\x32"[2 - number % 3 : 3 - number % 3]
            size = len(graph)
            graph = kind + bytes([size & 0x7F | 0x80, size >> 7]) + graph
        return b"\x3a" + bytes([len(graph) & 0x7F | 0x80, len(graph) >> 7]) + graph

    check_graph(nested(150))
    with pytest.raises(ValueError, match="nested more than"):
        check_graph(nested(300))
