"""What `role_lens.models.load_model` is made of, a file for each part of it.

    look_up(name)              # hub: a model on the Hugging Face hub, or in the local cache of it
    check_files(contents)      # contents: what a model folder lacks
    check_config(config, name) # kinds: whether it is a language model that TransformerLens runs
    converted(path)            # gguf: a folder of the weights in a GGUF file
    merged(adapter, base)      # adapters: a LoRA adapter merged into its base model
    own_copy(hf_model)         # handed_over: a transformers model that the caller keeps
    usable_tokenizer(given)    # tokenizers: a tokenizer, however it was given

Nothing in here asks on the terminal, or runs code that comes with a model.
"""
