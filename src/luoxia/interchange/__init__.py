"""Other toolkits' folders: Hugging Face models and PEFT adapters, read and written."""
