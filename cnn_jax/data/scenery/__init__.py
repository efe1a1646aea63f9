"""What scenes are made of, and what is drawn on them."""
