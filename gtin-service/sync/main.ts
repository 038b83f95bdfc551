/**
 * The process of `sync`: its command line; one run, or one after the other; its lines, its signals, its exit status.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { readAge } from '../settings.ts'
import { baseOf } from './folder.ts'
import { ProgressLine } from './progress.ts'
import { reportText, type SyncReport } from './report.ts'
import { runSync, SYNC_DEFAULTS } from './run.ts'

export const SYNC_HELP = `banyan-gtin sync: copies the products of the enterprise catalog into the data folder of the service

banyan-gtin sync --from URL [flags]

  --from URL          where the enterprise product answers, such as http://catalog:4001
  --data DIR          the data folder (./gtin-data)
  --every TIME        sync again and again, a tenth earlier or later each time (once)
  --full              read all products, not only what changed
  --full-every TIME   read all products if that was last done longer ago (7d)
  --max-drop SHARE    stop if more than this share of the products would be removed (5%)
  --max-reject SHARE  stop if more than this share of the records is rejected (5%)
  --no-gzip           ask for an uncompressed feed: less CPU
  --json              print the report as one line of JSON
  --help              this text

The first run reads all products, later ones what changed since. TIME is 5s, 10m, 24h; SHARE is 5%.
A full load that was interrupted is resumed by the next run. Exit status: 0 done, 1 failed or stopped, 2 bad flags.
`

/** Reads the arguments after `sync`. Throws an Error that tells the first mistake. */
export function readSyncCommandLine(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      from: { type: 'string', default: '' },
      data: { type: 'string', default: 'gtin-data' },
      every: { type: 'string' },
      full: { type: 'boolean', default: false },
      'full-every': { type: 'string', default: '7d' },
      'max-drop': { type: 'string', default: '5%' },
      'max-reject': { type: 'string', default: '5%' },
      'no-gzip': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  const from = URL.parse(values.help ? 'http://nowhere' : values.from)
  if (from === null || !/^https?:$/.test(from.protocol)) {
    throw new Error(`--from: expected a URL such as http://catalog:4001, got "${values.from}"`)
  }
  const everyMs = values.every === undefined ? null : readAge('--every', values.every)
  // A tenth later must still fit in a timer, of 24.8 days.
  if (everyMs !== null && (everyMs < 1_000 || everyMs > 20 * 86_400_000))
    throw new Error(`--every: expected 1s to 20d, got "${values.every}"`)
  return {
    wantsHelp: values.help,
    from,
    folder: values.data,
    everyMs,
    full: values.full,
    fullEveryMs: readAge('--full-every', values['full-every']),
    maxDropShare: readShare('--max-drop', values['max-drop']),
    maxRejectShare: readShare('--max-reject', values['max-reject']),
    gzip: !values['no-gzip'],
    json: values.json,
  }
}

/** Reads a share such as `5%`, as 0 to 1. Throws an Error that names the flag. */
function readShare(flag: string, text: string): number {
  const percent = Number(/^(\d{1,3}(?:\.\d{1,4})?)%$/.exec(text)?.[1])
  if (percent <= 100) return percent / 100
  throw new Error(`${flag}: expected a share such as 5%, got "${text}"`)
}

type SyncSettings = ReturnType<typeof readSyncCommandLine>

/** Runs until it is done, or with `--every` until a signal ends it. Resolves with the exit status. */
export async function runSyncProcess(settings: SyncSettings): Promise<number> {
  const stopping = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stopping.abort())
  const { everyMs, folder } = settings
  if (everyMs === null) return (await runOnce(settings, stopping.signal)).outcome === 'done' ? 0 : 1
  for (let failed = false; !stopping.signal.aborted; ) {
    const syncedAtMs = baseOf(folder).facts?.syncedAtMs
    const sinceMs = syncedAtMs === undefined ? null : Math.max(0, Date.now() - syncedAtMs)
    const waitMs = nextRunMs(sinceMs, failed, everyMs, Math.random())
    if (waitMs > 0) process.stderr.write(`gtin-service sync: next run in ${Math.round(waitMs / 1_000)} s\n`)
    await sleep(waitMs, undefined, { signal: stopping.signal }).catch(() => {})
    if (!stopping.signal.aborted) failed = (await runOnce(settings, stopping.signal)).outcome !== 'done'
  }
  return 0
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

async function runOnce(settings: SyncSettings, signal: AbortSignal): Promise<SyncReport> {
  const line = new ProgressLine(process.stderr)
  const report = await runSync({
    ...SYNC_DEFAULTS,
    ...settings,
    signal,
    onRecords: (records, expected) => line.show(records, expected),
    onEvent: (event) => line.say(`gtin-service sync: ${event}`),
  })
  line.clear()
  process.stdout.write(settings.json ? `${JSON.stringify(report)}\n` : reportText(report))
  return report
}
