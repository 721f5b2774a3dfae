"""What a pretrained BERT can be asked: masked words, scores, features, explanations; and exports."""
