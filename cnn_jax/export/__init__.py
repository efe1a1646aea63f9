"""What a run leaves for other programs: files that need nothing of this project, each compared with the run."""
