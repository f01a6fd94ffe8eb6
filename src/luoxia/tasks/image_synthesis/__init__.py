"""Images from texts, classes and other conditions: by tokens of a codec, and by flow."""
