"""Generate tokens with torch: slots with a cache, continuous batching, chunked prefill, seeded sampling."""
