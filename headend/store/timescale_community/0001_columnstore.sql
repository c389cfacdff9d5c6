-- The community edition: what is a month old goes into columns, by meter and channel. Late data and
-- estimates that change still land there, the extension decompresses what they touch; hence a month.
alter table bulk.reading set (timescaledb.enable_columnstore,
    timescaledb.segmentby = 'meter_id, channel', timescaledb.orderby = 'ts');
alter table bulk.interval set (timescaledb.enable_columnstore,
    timescaledb.segmentby = 'meter_id, channel', timescaledb.orderby = 'ts');
alter table bulk.telegram set (timescaledb.enable_columnstore,
    timescaledb.segmentby = 'gateway_id, epoch', timescaledb.orderby = 'seq');
call add_columnstore_policy('bulk.reading', after => interval '31 days');
call add_columnstore_policy('bulk.interval', after => interval '31 days');
call add_columnstore_policy('bulk.telegram', after => interval '31 days');
