function methodsSection(root) {}
