# Train on your own CoNLL files.
ner check train.conll dev.conll test.conll
ner train --train train.conll --development dev.conll --output models/mine
ner evaluate test.conll --model models/mine --html report.html
