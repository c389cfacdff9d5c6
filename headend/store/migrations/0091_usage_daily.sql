-- The whole fleet's totals of a day: without this, every day of every meter would be read for one.
create index on bulk.rollup_day (day, channel, meter_id);
