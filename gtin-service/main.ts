/**
 * The process: `banyan-gtin [serve | sync]`; its signals, its lines on the terminal, its exit status.
 */
import { Data } from './data.ts'
import { startGtinService } from './service.ts'
import { helpText, readCommandLine } from './settings.ts'
import { readSyncCommandLine, runSyncProcess, syncHelpText } from './sync/main.ts'

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
function settingsOf<S>(asked: { settings: S; mistakes: readonly string[]; wantsHelp: boolean }, help: () => string) {
  if (asked.wantsHelp) process.stdout.write(help())
  else if (asked.mistakes.length === 0) return asked.settings
  else {
    process.stderr.write(asked.mistakes.map((mistake) => `gtin-service: ${mistake}\n`).join(''))
    process.exitCode = BAD_USAGE
  }
  return null
}

async function serve(settings: ReturnType<typeof readCommandLine>['settings']): Promise<void> {
  const { listen, name, data: folder } = settings
  const report = (error: unknown): void => void process.stderr.write(`gtin-service: ${(error as Error).message}\n`)
  try {
    const source = new Data({ folder, staleAfterMs: settings['stale-after'], report })
    const drain = { drainDelayMs: settings['drain-delay'], drainTimeoutMs: settings['drain-timeout'] }
    const service = await startGtinService({ source, ...listen, name, ...drain, report })
    let isEnding = false
    const end = (): void => {
      if (isEnding) process.exit(0)
      isEnding = true
      process.stdout.write(`gtin-service draining name=${name}\n`)
      void service.close().then(() => process.exit(0))
    }
    process.on('SIGTERM', end)
    process.on('SIGINT', end)
    process.stdout.write(`gtin-service ready ${service.url} name=${name}\n`)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const at = `${listen.host}:${listen.port}`
    const why = code === 'EADDRINUSE' ? `${at} is already in use` : `can't serve on ${at}: ${message}`
    process.stderr.write(`gtin-service: ${why}\n`)
    process.exitCode = CANNOT_START
  }
}
