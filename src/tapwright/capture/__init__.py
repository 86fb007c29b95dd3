"""A capture as data: what the engine is asked to do, files, descriptions, the ledger."""
