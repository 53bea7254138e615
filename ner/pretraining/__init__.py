"""Knowledge from unlabelled text: word vectors, word classes, and a network pretrained on them."""
