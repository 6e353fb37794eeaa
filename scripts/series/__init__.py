"""How the project's own small models were trained: corpus, tokenizer, training, all from a clean clone.

``python -m scripts.series nano`` builds the checkpoint series, ``python -m scripts.series nano-moe`` the mixture of
experts. Nothing here is imported by the package.
"""
