/**
 * The process of `sync`: its command line; one run, or one after the other; its lines, its signals, its exit status.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Asked, flag, flagLines, readFlags, readFolder, readTime, toggle } from '../flags.ts'
import { ProgressLine } from './progress.ts'
import { reportText, type SyncReport } from './report.ts'
import { baseOf, runSync, SYNC_DEFAULTS } from './run.ts'

const FLAGS = {
  from: flag('URL', readUrl, undefined, 'where the enterprise product answers, such as http://catalog:4001'),
  data: flag('DIR', readFolder, 'gtin-data', 'the data folder (./gtin-data)'),
  every: flag<number | null>(
    'TIME',
    readInterval,
    null,
    'sync again and again, a tenth earlier or later each time (once)',
  ),
  full: toggle('read all products, not only what changed'),
  'full-every': flag('TIME', readTime, SYNC_DEFAULTS.fullEveryMs, 'read all where that was last done longer ago (7d)'),
  'max-drop': flag(
    'SHARE',
    readShare,
    SYNC_DEFAULTS.maxDropShare,
    'stop where more of the products would be removed (5%)',
  ),
  'max-reject': flag(
    'SHARE',
    readShare,
    SYNC_DEFAULTS.maxRejectShare,
    'stop where more of the records are rejected (5%)',
  ),
  'no-gzip': toggle('ask for the feed as it is: less CPU'),
  json: toggle('print the report as one line of JSON'),
}

type SyncSettings = ReturnType<typeof readSyncCommandLine>['settings']

/** The text of `sync --help`, with a newline at its end. */
export function syncHelpText(): string {
  return `banyan-gtin sync: copies the products of the enterprise catalog into the data folder of the service

banyan-gtin sync --from URL [flags]

${flagLines(FLAGS)}
The first run reads all products, later ones what changed since. TIME is 5s, 10m, 24h; SHARE is 5%.
A run that was killed goes on where it was. Exit status: 0 done, 1 failed or stopped, 2 bad flags.
`
}

/** Reads the arguments after `sync`. */
export function readSyncCommandLine(args: readonly string[]): Asked<typeof FLAGS> {
  return readFlags(FLAGS, args)
}

/** Runs until it is done, or with `--every` until a signal ends it. Resolves with the exit status. */
export async function runSyncProcess(settings: SyncSettings): Promise<number> {
  const stopping = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stopping.abort())
  const { every: everyMs, data } = settings
  if (everyMs === null) return (await runOnce(settings, stopping.signal)).outcome === 'done' ? 0 : 1
  for (let failed = false; !stopping.signal.aborted; ) {
    const syncedAtMs = baseOf(data).facts?.syncedAtMs
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
    from: settings.from,
    folder: settings.data,
    full: settings.full,
    fullEveryMs: settings['full-every'],
    maxDropShare: settings['max-drop'],
    maxRejectShare: settings['max-reject'],
    gzip: !settings['no-gzip'],
    signal,
    onRecords: (records, expected) => line.show(records, expected),
    onEvent: (event) => line.say(`gtin-service sync: ${event}`),
  })
  line.clear()
  process.stdout.write(settings.json ? `${JSON.stringify(report)}\n` : reportText(report))
  return report
}

function readUrl(text: string): URL {
  const url = URL.parse(text)
  if (url !== null && /^https?:$/.test(url.protocol)) return url
  throw new Error(`expected a URL such as http://catalog:4001, got "${text}"`)
}

function readInterval(text: string): number {
  const timeMs = readTime(text)
  if (timeMs >= 1_000) return timeMs
  throw new Error('expected at least 1s')
}

/** Reads a share such as `5%`, as 0 to 1. */
function readShare(text: string): number {
  const percent = Number(/^(\d{1,3}(?:\.\d{1,4})?)%$/.exec(text)?.[1])
  if (percent <= 100) return percent / 100
  throw new Error(`expected a share such as 5%, got "${text}"`)
}
