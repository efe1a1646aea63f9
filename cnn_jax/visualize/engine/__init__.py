"""What the methods share: programs of models, layers by name, ReLU rules, scores, receptive fields, pictures."""
