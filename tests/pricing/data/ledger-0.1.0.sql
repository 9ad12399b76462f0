BEGIN TRANSACTION;
CREATE TABLE alerts (
        key TEXT NOT NULL,
        sink TEXT NOT NULL,
        claimed_at BIGINT NOT NULL,
        tries BIGINT NOT NULL,
        delivered_at BIGINT,
        PRIMARY KEY (key, sink)
    );
INSERT INTO "alerts" VALUES('threshold:0.5','logging',1,1,NULL);
CREATE TABLE attempts (
        id TEXT NOT NULL PRIMARY KEY,
        call_id TEXT NOT NULL,
        group_id TEXT NOT NULL,
        purpose TEXT NOT NULL,
        host TEXT NOT NULL,
        model TEXT NOT NULL,
        mode TEXT NOT NULL,
        status TEXT NOT NULL,
        started_at BIGINT NOT NULL,
        lease_until BIGINT NOT NULL,
        ended_at BIGINT,
        currency TEXT NOT NULL,
        reserved_pico BIGINT NOT NULL,
        booked_pico BIGINT NOT NULL,
        cache_hit_pico BIGINT NOT NULL,
        cache_miss_pico BIGINT NOT NULL,
        completion_pico BIGINT NOT NULL,
        reasoning_pico BIGINT NOT NULL,
        certainty TEXT NOT NULL,
        prompt_bound BIGINT NOT NULL,
        max_tokens BIGINT NOT NULL,
        prompt_tokens BIGINT,
        cache_hit_tokens BIGINT,
        completion_tokens BIGINT,
        reasoning_tokens BIGINT,
        usage_certainty TEXT,
        usage_notes TEXT,
        price_ids TEXT NOT NULL,
        tags TEXT NOT NULL,
        finish_reason TEXT,
        http_status BIGINT,
        error TEXT
    );
INSERT INTO "attempts" VALUES('att-1','call-1','call-1','answer','vllm','deepseek-ai/DeepSeek-V3.1','standard','settled',1795176000000000,1795176900000000,1795176000000000,'USD',1960000000,1207360000,0,0,1207360000,0,'exact',2000,500,2000,1536,500,300,'exact',NULL,'["row"]','{"team":"search"}','stop',200,NULL);
INSERT INTO "attempts" VALUES('att-2','call-2','call-2','answer','vllm','deepseek-ai/DeepSeek-V3.1','thinking','released',1795176000000000,1795176900000000,1795176000000000,'USD',1960000000,0,0,0,0,0,'exact',2000,500,NULL,NULL,NULL,NULL,NULL,NULL,'[]','{"team":"ads"}',NULL,429,'RateLimited');
INSERT INTO "attempts" VALUES('att-3','call-3','group-1','escalate','vllm','deepseek-ai/DeepSeek-V3.1','standard','unknown',1795176000000000,1795176900000000,1795176000000000,'USD',1960000000,1960000000,0,0,1960000000,0,'unknown',2000,500,NULL,NULL,NULL,NULL,NULL,NULL,'["row"]','{}',NULL,NULL,'StreamInterrupted');
INSERT INTO "attempts" VALUES('att-4','call-4','call-4','answer','vllm','deepseek-ai/DeepSeek-V3.1','standard','settled',1795176000000000,1795176900000000,1795176000000000,'USD',1960000000,1207360000,0,0,1207360000,0,'exact',2000,500,2000,1536,500,300,'exact',NULL,'["row"]','{}','stop',200,NULL);
INSERT INTO "attempts" VALUES('att-5','call-5','call-5','answer','deepseek','deepseek-ai/DeepSeek-V3.1','standard','reserved',1795176000000000,1795176900000000,NULL,'USD',1960000000,1960000000,0,0,1960000000,0,'unknown',2000,500,NULL,NULL,NULL,NULL,NULL,NULL,'["row"]','{}',NULL,NULL,NULL);
CREATE TABLE budget_windows (
        budget BIGINT NOT NULL,
        part TEXT NOT NULL,
        start BIGINT NOT NULL,
        spent_pico BIGINT NOT NULL,
        reserved_pico BIGINT NOT NULL,
        unknown_pico BIGINT NOT NULL,
        PRIMARY KEY (budget, part, start)
    );
INSERT INTO "budget_windows" VALUES(1,'',1795132800000000,4374720000,1960000000,1960000000);
INSERT INTO "budget_windows" VALUES(2,'{"team": "search"}',0,1207360000,0,0);
INSERT INTO "budget_windows" VALUES(3,'',1795176000000000,4374720000,1960000000,1960000000);
INSERT INTO "budget_windows" VALUES(2,'{"team": "ads"}',0,0,0,0);
CREATE TABLE budgets (
        id BIGINT NOT NULL PRIMARY KEY,
        scope TEXT NOT NULL UNIQUE
    );
INSERT INTO "budgets" VALUES(1,'{"currency": "USD", "per": "day", "zone": "UTC"}');
INSERT INTO "budgets" VALUES(2,'{"currency": "USD", "each": ["team"], "per": "total", "zone": "UTC"}');
INSERT INTO "budgets" VALUES(3,'{"currency": "USD", "per": 3600.0, "zone": "UTC"}');
CREATE TABLE ledger (name TEXT NOT NULL PRIMARY KEY, value BIGINT NOT NULL);
INSERT INTO "ledger" VALUES('budgets_version',3);
CREATE INDEX attempts_by_call ON attempts (call_id);
CREATE INDEX attempts_by_group ON attempts (group_id) WHERE group_id <> call_id;
CREATE INDEX attempts_by_start ON attempts (started_at);
CREATE INDEX attempts_on_record ON attempts (host, model, mode, started_at) WHERE status = 'settled' AND usage_certainty = 'exact';
CREATE INDEX attempts_further ON attempts (purpose, host, model, mode, started_at) WHERE status = 'settled' AND usage_certainty = 'exact' AND purpose <> 'answer';
CREATE INDEX attempts_under_way ON attempts (lease_until) WHERE status = 'reserved';
COMMIT;
PRAGMA application_id = 1146376774;
PRAGMA user_version = 1;
