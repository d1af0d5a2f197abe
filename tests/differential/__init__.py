"""Random hierarchies, judged by `verify_path` and by the engines that others trust."""
