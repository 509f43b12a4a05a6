"""What `train_embedded_model.py` is made of: the text, the networks, their training, their measure, their card."""
