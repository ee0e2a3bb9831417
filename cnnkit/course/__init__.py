"""The course: a folder a chapter, with its experiments and facts."""
