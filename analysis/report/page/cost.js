function costSection(root) {}
