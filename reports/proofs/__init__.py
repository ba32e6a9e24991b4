"""What planted faults and plain loops say of the instrument itself."""
