/**
 * The process of `sync`: one run, or one after the other; its lines, its signals, its exit status.
 */
import { getPriority, setPriority } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { readCurrent } from '../store/current.ts'
import { nextRunMs } from './back-off.ts'
import { SYNC_DEFAULTS } from './options.ts'
import { ProgressLine } from './progress.ts'
import { reportText, type SyncReport } from './report.ts'
import type { SyncSettings } from './settings.ts'
import { runSync } from './sync.ts'

/** Runs until it is done, or with `everyMs` until a signal ends it. Resolves with the exit status. */
export async function runSyncProcess(settings: SyncSettings): Promise<number> {
  const stopping = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stopping.abort())
  const { everyMs, data, nice } = settings
  standBack(nice)
  if (everyMs === null) {
    const report = await runOnce(settings, stopping.signal)
    return report.outcome === 'done' ? 0 : 1
  }
  let failed = false
  for (;;) {
    const waitMs = nextRunMs(sinceLast(data), failed, { everyMs, chance: Math.random() })
    if (waitMs > 0) process.stderr.write(`gtin-service sync: next run in ${Math.round(waitMs / 1_000)} s\n`)
    await sleep(waitMs, undefined, { signal: stopping.signal }).catch(() => {})
    if (stopping.signal.aborted) return 0
    const report = await runOnce(settings, stopping.signal)
    if (stopping.signal.aborted) return 0
    failed = report.outcome !== 'done'
  }
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

/** Milliseconds since the last good run began; null where there was none, or the folder can't be read. */
function sinceLast(folder: string): number | null {
  try {
    const current = readCurrent(folder)
    return current === null ? null : Math.max(0, Date.now() - current.syncedAtMs)
  } catch {
    // The run says what is wrong.
    return null
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
