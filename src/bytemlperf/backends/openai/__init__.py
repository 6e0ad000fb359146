"""Measure a server that speaks OpenAI's API: vLLM, SGLang, TensorRT-LLM, llama.cpp and others."""
