"""What people do with a BERT: fill masks, predict."""
