/**
 * The process: `node gtin-service/main.ts [serve | sync]`; its signals, its lines on the terminal, its exit status.
 */
import type { Asked } from './flags.ts'
import { startGtinService } from './service.ts'
import { helpText, readCommandLine, type Settings } from './settings.ts'
import { StoreSource } from './source-store.ts'
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
  if (settings !== null) await serve(settings)
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
  try {
    const { data, staleAfterMs, memoryBytes } = settings
    const follow = { staleAfterMs, memoryBytes, report: reportData }
    const source = data === null ? null : await StoreSource.open({ folder: data, ...follow })
    const service = await startGtinService({ ...settings, ...(source !== null && { source }) })
    let signals = 0
    const end = () => {
      signals++
      if (signals > 1) return service.cut()
      process.stdout.write(`gtin-service draining name=${service.name}\n`)
      // The exit is by hand, so that nothing a source left open can keep the process.
      service.close().then(
        () => process.exit(0),
        (error: unknown) => {
          process.stderr.write(`gtin-service: the source did not close: ${(error as Error).message}\n`)
          process.exit(1)
        },
      )
    }
    process.on('SIGTERM', end)
    process.on('SIGINT', end)
    process.stdout.write(`gtin-service ready ${service.url} name=${service.name}\n`)
  } catch (error) {
    fail(error, settings)
  }
}

function reportData(error: unknown): void {
  process.stderr.write(`gtin-service: data: ${error instanceof Error ? error.message : String(error)}\n`)
}

function fail(error: unknown, settings: Settings): void {
  const { code, message } = error as NodeJS.ErrnoException
  const at = `${settings.host}:${settings.port}`
  process.stderr.write(
    code === 'EADDRINUSE'
      ? `gtin-service: ${at} is already in use\n`
      : `gtin-service: can't serve on ${at}: ${message}\n`,
  )
  process.exitCode = CANNOT_START
}
