function paperSection(root) {}
