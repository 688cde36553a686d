-- The views people ask for, over the tables that `tables.py` makes, one for each event type.
-- A view that joins topics shows only epochs that every controller partition has concluded: what
-- stands beyond is still on its way, and half of it would be there.

CREATE OR REPLACE VIEW concluded AS
-- The namespace's is the first on partition 0 of lifecycle: applications write on other topics.
WITH topology AS (
    SELECT (
        SELECT partitions FROM topologies_activated
        ORDER BY topic <> 'lifecycle', partition, "offset" LIMIT 1
    ) AS partitions
),
reached AS (
    SELECT concluded_partition, max(concluded_epoch) AS epoch
    FROM epochs_concluded GROUP BY concluded_partition
)
SELECT CASE WHEN count(*) < coalesce(any_value(partitions), 1) THEN -1 ELSE min(epoch) END AS epoch
FROM reached CROSS JOIN topology WHERE concluded_partition < coalesce(partitions, 1);
COMMENT ON VIEW concluded IS
    'One row: the last epoch that all partitions of the controller have concluded, -1 before.';

CREATE OR REPLACE VIEW current_models AS
WITH changes AS (
    SELECT model, version, after AS stage, time, revision, epoch FROM stages_changed
    UNION ALL
    SELECT model, replaced, 'Archived', time, revision, epoch FROM stages_changed
    WHERE replaced <> ''
),
stages AS (
    SELECT model, version, arg_max(stage, revision) AS stage, arg_max(time, revision) AS since,
        max(revision) AS revision
    FROM changes WHERE epoch <= (SELECT epoch FROM concluded) GROUP BY model, version
),
registered AS (
    SELECT version->>'model' AS model, version->>'version' AS version, min(time) AS registered_at,
        arg_min(run_id, time) AS run_id, arg_min(version->>'artifact', time) AS artifact,
        arg_min(version->>'task', time) AS task
    FROM models_registered WHERE epoch <= (SELECT epoch FROM concluded) GROUP BY ALL
)
SELECT coalesce(s.model, r.model) AS model, coalesce(s.version, r.version) AS version,
    coalesce(s.stage, 'Development') AS stage, coalesce(s.since, r.registered_at) AS since,
    coalesce(s.revision, 0) AS revision, r.registered_at, r.task, r.run_id, r.artifact
FROM stages s FULL JOIN registered r ON s.model = r.model AND s.version = r.version
ORDER BY model, registered_at, version;
COMMENT ON VIEW current_models IS
    'One row a version: the stage it is in now, since when, and the run and artifact behind it.';

CREATE OR REPLACE VIEW alerts_open AS
WITH states AS (
    SELECT fingerprint, revision, id AS alert_id, epoch FROM alerts_raised
    UNION ALL
    SELECT fingerprint, revision, NULL, epoch FROM alerts_resolved
),
latest AS (
    SELECT fingerprint, arg_max_null(alert_id, revision) AS alert_id
    FROM states WHERE epoch <= (SELECT epoch FROM concluded) GROUP BY fingerprint
),
silences AS (
    SELECT fingerprint, max(until) FILTER (NOT acknowledge) AS silenced_until,
        bool_or(acknowledge) AS acknowledged
    FROM alerts_silenced WHERE epoch <= (SELECT epoch FROM concluded) GROUP BY fingerprint
)
SELECT a.id AS alert_id, a.fingerprint, a.revision, a.kind, a.severity, a.model, a.version,
    a.segment, a.feature, a.rule, a.metric, a.value, a."limit", a.reference, a.pane_start,
    a.time AS raised_at, a.silenced, s.silenced_until, coalesce(s.acknowledged, false) AS acknowledged,
    CASE WHEN a.silenced THEN coalesce(a.noise->>'reason', 'silence') ELSE '' END AS reason,
    CASE WHEN a.silenced THEN coalesce(a.noise->>'by', a.fingerprint) END AS held_by,
    CAST(coalesce(json_array_length(a.noise->'members'), 0) AS BIGINT) AS members
FROM latest l JOIN alerts_raised a ON a.id = l.alert_id AND a.fingerprint = l.fingerprint
LEFT JOIN silences s ON s.fingerprint = a.fingerprint
ORDER BY raised_at, a.fingerprint;
COMMENT ON VIEW alerts_open IS
    'One row an alert that was raised and not resolved since, with what was measured and allowed; reason and held_by where it paged nobody, members where it paged for more.';

CREATE OR REPLACE VIEW silences AS
WITH said AS (
    SELECT *, row_number() OVER (PARTITION BY fingerprint ORDER BY revision DESC) AS place
    FROM alerts_silenced
    WHERE NOT acknowledge AND epoch <= (SELECT epoch FROM concluded)
),
asked AS (
    SELECT 'silenced/' || id AS said_id, any_value(reason) AS reason
    FROM alert_silences_requested GROUP BY id
)
SELECT s.model, s.fingerprint AS name, coalesce(s.hold->>'how', 'silence') AS how,
    coalesce(s.hold->>'kind', '') AS kind, coalesce(s.hold->>'feature', '') AS feature,
    CASE WHEN s.hold IS NULL THEN s.fingerprint ELSE coalesce(s.hold->>'fingerprint', '') END
        AS fingerprint,
    CAST(s.hold->>'since' AS TIMESTAMP) AS since, s.until, s.actor, coalesce(a.reason, '') AS reason,
    s.time AS said_at, NOT coalesce(CAST(s.hold->>'ended' AS BOOLEAN), false)
        AND s.until > (SELECT max(time) FROM ticks) AS in_force
FROM said s LEFT JOIN asked a ON a.said_id = s.id
WHERE s.place = 1 ORDER BY s.model, s.until DESC, name;
COMMENT ON VIEW silences IS
    'One row a silence, snooze or maintenance: what it is about, who asked, why, until when, and whether it is in force (by event time).';

CREATE OR REPLACE VIEW alerts_suppressed AS
WITH asked AS (
    SELECT s.fingerprint, s.epoch, arg_max(s.actor, s.revision) AS actor,
        arg_max(r.reason, s.revision) AS reason
    FROM alerts_silenced s LEFT JOIN alert_silences_requested r ON 'silenced/' || r.id = s.id
    WHERE NOT s.acknowledge AND NOT coalesce(CAST(s.hold->>'ended' AS BOOLEAN), false)
    GROUP BY s.fingerprint, s.epoch
),
hushed AS (
    SELECT *, coalesce(noise->>'reason', 'silence') AS said,
        coalesce(noise->>'by', fingerprint) AS held_by
    FROM alerts_raised WHERE silenced AND epoch <= (SELECT epoch FROM concluded)
)
SELECT a.model, a.time AS raised_at, a.said AS reason, a.held_by, s.actor, s.reason AS why,
    a.noise->>'group' AS incident, a.kind, a.severity, a.version, a.segment, a.feature, a.rule,
    a.metric, a.value, a."limit", a.pane_start, a.fingerprint, a.id AS alert_id,
    a.id IN (SELECT alert_id FROM alerts_open) AS is_open
FROM hushed a ASOF LEFT JOIN asked s ON s.fingerprint = a.held_by AND s.epoch <= a.epoch
ORDER BY raised_at, a.fingerprint;
COMMENT ON VIEW alerts_suppressed IS
    'One row an alert that was raised and paged nobody: why (silence, snooze, maintenance, flapping, group), and what held it: a silence by name, with who asked for it and why, or the alert that paged in its place.';

CREATE OR REPLACE VIEW metric_values AS
SELECT model, version, segment, pane_start, time AS pane_end, cut, restatement, status,
    m->>0 AS metric, m->>1 AS feature, TRY_CAST(m->>2 AS DOUBLE) AS value,
    TRY_CAST(m->>3 AS DOUBLE) AS reference, TRY_CAST(m->>4 AS BIGINT) AS n, id AS metric_id, epoch,
    append_time AS recorded_at
FROM (
    SELECT *, unnest(CAST(metrics AS JSON[])) AS m FROM metrics_evaluated
    WHERE epoch <= (SELECT epoch FROM concluded)
);
COMMENT ON VIEW metric_values IS
    'One row a metric of a pane; value is NULL where there was too little data. n: rows behind it.';

CREATE OR REPLACE VIEW drift_by_feature AS
SELECT model, version, segment, feature, pane_start, pane_end,
    max(value) FILTER (metric = 'psi') AS psi, max(value) FILTER (metric = 'js') AS js,
    max(value) FILTER (metric = 'kl') AS kl, max(value) FILTER (metric = 'ks') AS ks,
    max(value) FILTER (metric = 'wasserstein') AS wasserstein,
    max(value) FILTER (metric = 'chi2') AS chi2, max(value) FILTER (metric = 'chi2_p') AS chi2_p,
    max(value) FILTER (metric = 'missing_rate') AS missing_rate,
    max(value) FILTER (metric = 'new_category_rate') AS new_category_rate, max(n) AS n
FROM metric_values WHERE feature <> '' AND cut = 'closed'
GROUP BY ALL ORDER BY model, pane_start, version, segment, feature;
COMMENT ON VIEW drift_by_feature IS
    'One row a feature and closed pane: its distances from the reference profile of its version.';

CREATE OR REPLACE VIEW performance_by_pane AS
SELECT model, version, segment, pane_start, pane_end,
    max(n) FILTER (metric <> 'coverage') AS labelled,
    max(value) FILTER (metric = 'coverage') AS coverage,
    max(value) FILTER (metric = 'accuracy') AS accuracy,
    max(reference) FILTER (metric = 'accuracy') AS accuracy_reference,
    max(value) FILTER (metric = 'precision') AS precision,
    max(value) FILTER (metric = 'recall') AS recall, max(value) FILTER (metric = 'f1') AS f1,
    max(value) FILTER (metric = 'log_loss') AS log_loss,
    max(value) FILTER (metric = 'brier') AS brier, max(value) FILTER (metric = 'mae') AS mae,
    max(value) FILTER (metric = 'rmse') AS rmse,
    max(value) FILTER (metric = 'label_delay_p50_s') AS label_delay_p50_s, any_value(status) AS status
FROM metric_values WHERE cut = 'mature'
GROUP BY model, version, segment, pane_start, pane_end
ORDER BY model, pane_start, version, segment;
COMMENT ON VIEW performance_by_pane IS
    'One row a mature pane, version and segment: how well the model did once its labels were due.';

CREATE OR REPLACE VIEW restatements AS
SELECT model, version, segment, pane_start, pane_end, metric, cut, restatement, value,
    value - lag(value) OVER said AS change, n, n - lag(n) OVER said AS more,
    epoch AS known_epoch, recorded_at AS known_from, lead(recorded_at) OVER said AS known_until
FROM metric_values WHERE feature = '' AND cut IN ('mature', 'restated')
WINDOW said AS (
    PARTITION BY model, version, segment, pane_start, metric ORDER BY epoch, restatement
)
ORDER BY model, pane_start, version, segment, metric, known_epoch, restatement;
COMMENT ON VIEW restatements IS
    'One row a statement of a pane''s performance: first once its labels were due, again when late labels changed it; what it said, by how much that differs from the one before (more: rows), and from when until when it was the last word.';

CREATE OR REPLACE VIEW label_coverage AS
WITH sums AS (
    SELECT model, version, segment, pane_start, time AS pane_end,
        sum(predictions) FILTER (cut = 'closed') AS predictions,
        sum(CAST(coalesce(performance->>'labelled', '0') AS BIGINT)) FILTER (cut = 'mature')
            AS labelled,
        sum(CAST(coalesce(performance->>'corrections', '0') AS BIGINT)) FILTER (cut = 'mature')
            AS corrections,
        sum(CAST(coalesce(performance->>'duplicates', '0') AS BIGINT)) FILTER (cut = 'mature')
            AS duplicates
    FROM panes_summarized WHERE epoch <= (SELECT epoch FROM concluded)
    GROUP BY ALL
)
SELECT model, version, segment, pane_start, pane_end, predictions, labelled,
    labelled / nullif(predictions, 0) AS coverage, corrections, duplicates
FROM sums ORDER BY model, pane_start, version, segment;
COMMENT ON VIEW label_coverage IS
    'One row a pane: how many of its predictions had a label when it matured; NULL while it waits.';

CREATE OR REPLACE VIEW runs AS
WITH started AS (
    SELECT run_id, arg_min(model, time) AS model, min(time) AS time,
        arg_min(dataset, time) AS dataset, arg_min(code_commit, time) AS code_commit,
        arg_min(CAST(environment AS VARCHAR), time) AS environment
    FROM runs_started GROUP BY run_id
),
completed AS (
    SELECT run_id, any_value(model) AS model, arg_min(rows, time) AS trained_rows,
        arg_min(first_epoch, time) AS first_epoch, arg_min(last_epoch, time) AS last_epoch
    FROM runs_completed GROUP BY run_id
),
-- A run names a data set, or one of its versions as NAME@VERSION.
data AS (
    SELECT s.run_id, arg_max({'dataset': d.dataset, 'version': d.version, 'hash': d.content_hash},
        (d.time, d.version)) AS found
    FROM started s JOIN datasets_versioned d ON d.dataset || '@' || d.version = s.dataset
        OR (d.dataset = s.dataset AND d.time <= s.time)
    GROUP BY s.run_id
)
SELECT coalesce(s.run_id, c.run_id) AS run_id, coalesce(s.model, c.model) AS model,
    s.time AS started_at, s.code_commit, s.environment,
    coalesce(d.found.dataset, s.dataset) AS dataset, d.found.version AS dataset_version,
    d.found.hash AS dataset_hash, c.trained_rows, c.first_epoch, c.last_epoch
FROM started s FULL JOIN completed c ON c.run_id = s.run_id
LEFT JOIN data d ON d.run_id = s.run_id;
COMMENT ON VIEW runs IS
    'One row a training run: its code, and the data set or outcomes that it learned from.';

CREATE OR REPLACE VIEW lineage AS
WITH registered AS (
    SELECT version->>'model' AS model, version->>'version' AS version,
        arg_min(version->>'artifact', time) AS artifact, arg_min(run_id, time) AS run_id,
        arg_min(request_id, time) AS request_id
    FROM models_registered GROUP BY 1, 2
),
spans AS (
    SELECT run_id, list({'topic': 'outcomes', 'partition': p, 'first': f, 'next': n} ORDER BY p)
        AS trained_on
    FROM (
        SELECT c.run_id, o.partition AS p, min(o."offset") AS f, max(o."offset") + 1 AS n
        FROM runs c JOIN outcomes o ON o.model = c.model
            AND o.epoch BETWEEN c.first_epoch AND c.last_epoch
        WHERE c.last_epoch > 0 GROUP BY ALL
    ) GROUP BY run_id
)
SELECT p.id AS prediction_id, p.time, p.model, p.version, p.topic, p.partition, p."offset",
    o.label, o."offset" AS outcome_offset, r.artifact, r.run_id, r.request_id, u.code_commit,
    u.dataset, u.dataset_version, u.dataset_hash, u.trained_rows,
    u.first_epoch AS trained_first_epoch, u.last_epoch AS trained_last_epoch, t.trained_on
FROM predictions p
LEFT JOIN outcomes o ON o.prediction_id = p.id AND NOT o.correction
LEFT JOIN registered r ON r.model = p.model AND r.version = p.version
LEFT JOIN runs u ON u.run_id = r.run_id
LEFT JOIN spans t ON t.run_id = r.run_id
WHERE p.epoch <= (SELECT epoch FROM concluded);
COMMENT ON VIEW lineage IS
    'One row a prediction: its version, the run behind it, and the data set or outcomes it learned.';

CREATE OR REPLACE VIEW erasures AS
SELECT TRY_CAST(correlation_id AS BIGINT) AS request, target AS key, time, actor, detail AS reason
FROM actions_taken WHERE action = 'forget' AND allowed
ORDER BY request;
COMMENT ON VIEW erasures IS
    'One row a person who was forgotten (`streamops forget`): the number of the request, and the name of the key that was destroyed. Nothing says who it was.';

CREATE OR REPLACE VIEW retrains AS
WITH ended AS (
    SELECT run_id, append_time, rows, '' AS error, "offset" FROM runs_completed
    UNION ALL
    SELECT run_id, append_time, NULL, error, "offset" FROM runs_failed
),
firsts AS (
    SELECT run_id, arg_min(append_time, "offset") AS append_time, arg_min_null(rows, "offset") AS rows,
        arg_min(error, "offset") AS error
    FROM ended GROUP BY run_id
),
started AS (SELECT run_id, min(append_time) AS append_time FROM runs_started GROUP BY run_id),
answers AS (
    SELECT request_id, arg_min(version->>'version', "offset") AS version FROM models_registered
    WHERE request_id <> '' GROUP BY request_id
),
gates AS (
    SELECT request_id, arg_min(passed, "offset") AS passed, arg_min(checks, "offset") AS checks,
        min(epoch) AS epoch
    FROM gates_evaluated WHERE epoch <= (SELECT epoch FROM concluded) GROUP BY request_id
),
scores AS (
    SELECT request_id, arg_min(candidate, "offset") AS candidate, arg_min(champion, "offset") AS champion
    FROM candidates_scored GROUP BY request_id
),
promoted AS (
    SELECT model, version, min(time) AS time, min(epoch) AS epoch FROM stages_changed
    WHERE after = 'Production' AND epoch <= (SELECT epoch FROM concluded) GROUP BY model, version
),
kinds AS (SELECT id, any_value(kind) AS kind FROM alerts_raised GROUP BY id)
SELECT r.id AS request_id, r.time, r.model, r.strategy,
    coalesce(k.kind, split_part(r.cause, '/', 1)) AS trigger, r.cause, r.reason, r.champion_version,
    r.first_epoch, r.last_epoch, r.labels, r.used, r.budget, r.trainer,
    date_diff('ms', s.append_time, e.append_time) / 1000 AS seconds, e.rows, a.version,
    CASE WHEN e.error <> '' THEN 'failed' WHEN g.passed IS NULL THEN 'open'
        WHEN NOT g.passed THEN 'refused' WHEN p.version IS NULL THEN 'passed' ELSE 'promoted'
    END AS verdict,
    c.candidate->>r.metric AS candidate, c.champion->>r.metric AS champion, r.metric, g.checks,
    g.epoch AS decided_epoch, p.epoch AS promoted_epoch, e.error, r.epoch
FROM retrains_requested r
LEFT JOIN kinds k ON k.id = r.cause
LEFT JOIN started s ON s.run_id = r.id
LEFT JOIN firsts e ON e.run_id = r.id
LEFT JOIN answers a ON a.request_id = r.id
LEFT JOIN gates g ON g.request_id = r.id
LEFT JOIN scores c ON c.request_id = r.id
LEFT JOIN promoted p ON p.model = r.model AND p.version = a.version
WHERE r.epoch <= (SELECT epoch FROM concluded)
ORDER BY r.time, r.id;
COMMENT ON VIEW retrains IS
    'One row a request for a challenger: its cause, what training cost (seconds by append times, rows), its score beside the champion''s, and the gate''s verdict. `streamops retrains` adds what came after: its regret.';

CREATE OR REPLACE VIEW model_timeline AS
WITH facts AS (
    SELECT time, version->>'model' AS model, version->>'version' AS version, 'ModelRegistered' AS what,
        id, 'run ' || run_id AS detail, topic, partition, "offset", epoch FROM models_registered
    UNION ALL
    SELECT time, model, NULL, 'RunStarted', id, run_id, topic, partition, "offset", epoch
    FROM runs_started
    UNION ALL
    SELECT time, model, NULL, 'RunCompleted', id, rows || ' rows', topic, partition, "offset", epoch
    FROM runs_completed
    UNION ALL
    SELECT time, model, NULL, 'RunFailed', id, error, topic, partition, "offset", epoch
    FROM runs_failed
    UNION ALL
    SELECT time, model, version, 'CandidateScored', id, 'against ' || champion_version, topic,
        partition, "offset", epoch FROM candidates_scored
    UNION ALL
    SELECT time, model, version, 'PromotionRequested', id, actor || ': ' || reason, topic, partition,
        "offset", epoch FROM promotions_requested
    UNION ALL
    SELECT time, model, version, 'PromotionApproved', id, actor || ': ' || reason, topic, partition,
        "offset", epoch FROM promotions_approved
    UNION ALL
    SELECT time, model, NULL, 'RollbackRequested', id, actor || ': ' || reason, topic, partition,
        "offset", epoch FROM rollbacks_requested
    UNION ALL
    SELECT time, model, NULL, 'RetrainingPaused', id, actor || CASE WHEN paused THEN ': paused '
        ELSE ': resumed ' END || reason, topic, partition, "offset", epoch FROM retrainings_paused
    UNION ALL
    SELECT time, config->>'model', NULL, 'ConfigApplied', id, actor || ': ' || config_hash, topic,
        partition, "offset", epoch FROM configs_applied
    UNION ALL
    SELECT time, model, version, 'DriftDetected', id, detector || ' ' || level, topic, partition,
        "offset", epoch FROM drifts_detected
    UNION ALL
    SELECT time, model, version, 'AlertRaised', id,
        concat_ws(' ', severity, kind, nullif(feature, ''), metric, round(value, 4)), topic,
        partition, "offset", epoch FROM alerts_raised
    UNION ALL
    SELECT time, model, NULL, 'AlertResolved', id, reason, topic, partition, "offset", epoch
    FROM alerts_resolved
    UNION ALL
    SELECT time, model, NULL, 'AlertSilenced', id, actor || ': ' || CASE WHEN acknowledge THEN 'seen '
        WHEN hold->>'ended' = 'true' THEN 'ended ' ELSE 'until ' || until || ' ' END || fingerprint,
        topic, partition, "offset", epoch FROM alerts_silenced
    UNION ALL
    SELECT time, model, NULL, 'RetrainRequested', id, strategy || ': ' || reason, topic, partition,
        "offset", epoch FROM retrains_requested
    UNION ALL
    SELECT time, model, NULL, 'RetrainSkipped', id, reason, topic, partition, "offset", epoch
    FROM retrains_skipped
    UNION ALL
    SELECT time, model, version, 'GateEvaluated', id, CASE WHEN passed THEN 'passed' ELSE 'refused'
        END, topic, partition, "offset", epoch FROM gates_evaluated
    UNION ALL
    SELECT time, model, version, 'StageChanged', id, before || ' to ' || after, topic, partition,
        "offset", epoch FROM stages_changed
    UNION ALL
    SELECT time, model, version, 'RolloutStarted', id, CAST(plan AS VARCHAR), topic, partition,
        "offset", epoch FROM rollouts_started
    UNION ALL
    SELECT time, model, version, 'RolloutStepped', id, CAST(share AS VARCHAR), topic, partition,
        "offset", epoch FROM rollouts_stepped
    UNION ALL
    SELECT time, model, version, 'RolloutFinished', id, '', topic, partition, "offset", epoch
    FROM rollouts_finished
    UNION ALL
    SELECT time, model, version, 'RolloutRolledBack', id, 'to ' || restored || ': ' || reason, topic,
        partition, "offset", epoch FROM rollouts_rolled_back
    UNION ALL
    SELECT time, model, version, 'DeploymentServed', id, gateway, topic, partition, "offset", epoch
    FROM deployments_served
)
SELECT model, time, what, version, detail, id, topic, partition, "offset", epoch FROM facts
WHERE epoch IS NULL OR epoch <= (SELECT epoch FROM concluded)
ORDER BY model, time, epoch, topic, partition, "offset";
COMMENT ON VIEW model_timeline IS
    'One row a lifecycle fact of a model, in order of time, with where it stands on the log.';

COMMENT ON VIEW topic_counts IS
    'One row a topic and event type: how many different events of it are stored.';
