"""The trainer: runs an objective's phases, and saves, resumes and watches them."""
