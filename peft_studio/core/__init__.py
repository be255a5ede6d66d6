"""What PEFT Studio knows and decides. No vendor, no HTTP, no widget, no torch: values in, values out."""
