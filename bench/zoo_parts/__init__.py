"""Parts of the zoo: model directories, conversations, entry points, and the comparison with transformers."""
