/**
 * The process: `banyan-gtin [serve | sync]`; its signals, its lines on the terminal, its exit status.
 */
import { Data } from './data.ts'
import type { Asked } from './flags.ts'
import { startGtinService } from './service.ts'
import { helpText, readCommandLine, type Settings } from './settings.ts'
import { runSyncProcess } from './sync/main.ts'
import { readSyncCommandLine, syncHelpText } from './sync/settings.ts'

const BAD_USAGE = 2
const CANNOT_START = 1

// A terminal or a parent that went away must not end the lookups.
process.stdout.on('error', () => {})
process.stderr.on('error', () => {})

const [command, ...rest] = process.argv.slice(2)
if (command === 'sync') {
  const settings = settingsOf(readSyncCommandLine(rest), syncHelpText)
  if (settings !== null) process.exit(await runSyncProcess(settings))
} else {
  const settings = settingsOf(readCommandLine(command === 'serve' ? rest : process.argv.slice(2)), helpText)
  if (settings !== null) await serve(settings).catch((error: NodeJS.ErrnoException) => fail(error, settings))
}

/** The settings to run with; null where help or mistakes have been printed instead. */
function settingsOf<S>(asked: Asked<S>, help: () => string): S | null {
  if (asked.kind === 'run') return asked.settings
  if (asked.kind === 'help') process.stdout.write(help())
  else {
    for (const mistake of asked.mistakes) process.stderr.write(`gtin-service: ${mistake}\n`)
    process.exitCode = BAD_USAGE
  }
  return null
}

async function serve(settings: Settings): Promise<void> {
  const report = (error: unknown): void => {
    process.stderr.write(`gtin-service: data: ${error instanceof Error ? error.message : String(error)}\n`)
  }
  const source = new Data({ folder: settings.data, staleAfterMs: settings.staleAfterMs, report })
  const service = await startGtinService({ ...settings, source })
  let isEnding = false
  const end = (): void => {
    if (isEnding) service.cut()
    if (isEnding) return
    isEnding = true
    process.stdout.write(`gtin-service draining name=${service.name}\n`)
    void service.close().then(() => process.exit(0))
  }
  process.on('SIGTERM', end)
  process.on('SIGINT', end)
  process.stdout.write(`gtin-service ready ${service.url} name=${service.name}\n`)
}

function fail({ code, message }: NodeJS.ErrnoException, { host, port }: Settings): void {
  const at = `${host}:${port}`
  const why = code === 'EADDRINUSE' ? `${at} is already in use` : `can't serve on ${at}: ${message}`
  process.stderr.write(`gtin-service: ${why}\n`)
  process.exitCode = CANNOT_START
}
