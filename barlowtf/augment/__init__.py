"""Random crops on the host; flip, color, blur, solarize and normalization batched on the device."""
