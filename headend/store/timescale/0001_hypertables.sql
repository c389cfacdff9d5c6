-- Time partitions for what grows without end. Works with the Apache edition, and on tables that
-- hold data already: the extension may come later than the schema.
select create_hypertable('bulk.reading', by_range('ts', interval '7 days'),
    create_default_indexes => false, migrate_data => true);
select create_hypertable('bulk.telegram', by_range('received_at', interval '7 days'),
    create_default_indexes => false, migrate_data => true);
