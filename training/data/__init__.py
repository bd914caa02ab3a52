"""What the model learns from: texts, labels and sentence pairs, as token batches."""
