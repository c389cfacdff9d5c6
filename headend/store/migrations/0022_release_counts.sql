-- A release counts against what people may order alone unless two of them have approved it.
alter table ohmesh.release add column approved boolean not null default false;
