"""What a trained net says of pictures without labels."""
