-- Validated intervals in time partitions too.
select create_hypertable('bulk.interval', by_range('ts', interval '7 days'),
    create_default_indexes => false, migrate_data => true);
select create_hypertable('bulk.interval_version', by_range('ts', interval '28 days'),
    create_default_indexes => false, migrate_data => true);
