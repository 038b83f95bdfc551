/**
 * The process of `sync`: one run, or one after the other; its lines, its signals, its exit status.
 */
import { getPriority, setPriority } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { ProgressLine } from './progress.ts'
import { reportText, type SyncReport } from './report.ts'
import { baseOf, runSync, SYNC_DEFAULTS } from './run.ts'
import type { SyncSettings } from './settings.ts'

/** Runs until it is done, or with `everyMs` until a signal ends it. Resolves with the exit status. */
export async function runSyncProcess(settings: SyncSettings): Promise<number> {
  const stopping = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stopping.abort())
  const { everyMs, data } = settings
  standBack(settings.nice)
  if (everyMs === null) {
    const report = await runOnce(settings, stopping.signal)
    return report.outcome === 'done' ? 0 : 1
  }
  let failed = false
  for (;;) {
    const syncedAtMs = baseOf(data).facts?.syncedAtMs
    const sinceMs = syncedAtMs === undefined ? null : Math.max(0, Date.now() - syncedAtMs)
    const waitMs = nextRunMs(sinceMs, failed, everyMs, Math.random())
    if (waitMs > 0) process.stderr.write(`gtin-service sync: next run in ${Math.round(waitMs / 1_000)} s\n`)
    await sleep(waitMs, undefined, { signal: stopping.signal }).catch(() => {})
    if (stopping.signal.aborted) return 0
    const report = await runOnce(settings, stopping.signal)
    if (stopping.signal.aborted) return 0
    failed = report.outcome !== 'done'
  }
}

/** The share of an interval that a run may come early or late, so that many services don't all ask at one moment. */
const JITTER = 0.1
const MAX_RETRY_MS = 600_000

/**
 * Milliseconds until the next run. `sinceMs`: how long ago the last good run began; null where there was none. After a
 * failure it comes sooner than planned: within ten minutes, or a tenth of the interval where that is less.
 * `chance`, in [0, 1): the draw of this wait.
 */
export function nextRunMs(sinceMs: number | null, failed: boolean, everyMs: number, chance: number): number {
  if (failed) return Math.round(Math.min(MAX_RETRY_MS, everyMs / 10) * (0.5 + chance / 2))
  if (sinceMs === null) return 0
  return Math.max(0, Math.round(everyMs * (1 - JITTER + 2 * JITTER * chance)) - sinceMs)
}

/** Lookups beside this process must not wait for it. Never ahead of what whoever started it wanted. */
function standBack(nice: number): void {
  try {
    if (nice > getPriority()) setPriority(nice)
  } catch (error) {
    // A system that has no priorities, or refuses them, still syncs.
    process.stderr.write(`gtin-service sync: no other priority: ${(error as Error).message}\n`)
  }
}

async function runOnce(settings: SyncSettings, signal: AbortSignal): Promise<SyncReport> {
  const line = new ProgressLine(process.stderr)
  const report = await runSync({
    ...settings,
    from: settings.from as URL,
    folder: settings.data,
    firstWaitMs: SYNC_DEFAULTS.firstWaitMs,
    signal,
    onProgress: (progress) => line.show(progress),
    onEvent: (event) => line.say(`gtin-service sync: ${event}`),
  })
  line.clear()
  process.stdout.write(settings.json ? `${JSON.stringify(report)}\n` : reportText(report))
  return report
}
