function paretoSection(root) {}
