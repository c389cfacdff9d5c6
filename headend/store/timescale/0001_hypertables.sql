-- Time partitions for what grows without end. Works with the Apache edition.
select create_hypertable('bulk.reading', by_range('ts', interval '7 days'), create_default_indexes => false);
select create_hypertable('bulk.telegram', by_range('received_at', interval '7 days'), create_default_indexes => false);
