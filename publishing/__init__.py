"""Publishes the images and the chart in a container registry, with provenance, SBOMs and signatures."""
