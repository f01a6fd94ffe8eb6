"""Generators and discriminators of image translation."""
