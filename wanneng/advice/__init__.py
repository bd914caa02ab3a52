"""`wanneng label-set check`: what scores of texts without labels tell about labels, templates and wordings."""
