/**
 * The process: `banyan-gtin [serve | sync]`; its signals, its lines on the terminal, its exit status.
 */
import { Data } from './data.ts'
import { startGtinService } from './service.ts'
import { HELP, readCommandLine } from './settings.ts'

const BAD_USAGE = 2
const CANNOT_START = 1

// A terminal or a parent that went away must not end the lookups.
process.stdout.on('error', () => {})
process.stderr.on('error', () => {})

const [command, ...rest] = process.argv.slice(2)
if (command === 'sync') {
  // A program of its own: a process that serves does not load it.
  const { readSyncCommandLine, runSyncProcess, SYNC_HELP } = await import('./sync/main.ts')
  const settings = settingsOf(() => readSyncCommandLine(rest), SYNC_HELP)
  if (settings !== null) process.exit(await runSyncProcess(settings))
} else {
  const settings = settingsOf(() => readCommandLine(command === 'serve' ? rest : process.argv.slice(2)), HELP)
  if (settings !== null) await serve(settings)
}

/** The settings to run with; null where help or a mistake has been printed instead. */
function settingsOf<S extends { wantsHelp: boolean }>(read: () => S, help: string): S | null {
  try {
    const settings = read()
    if (!settings.wantsHelp) return settings
    process.stdout.write(help)
  } catch (error) {
    report(error)
    process.exitCode = BAD_USAGE
  }
  return null
}

async function serve({ data: folder, staleAfterMs, ...settings }: ReturnType<typeof readCommandLine>): Promise<void> {
  const { host, port, name } = settings
  try {
    const source = new Data({ folder, staleAfterMs, report })
    const service = await startGtinService({ ...settings, source, report })
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
    report(
      new Error(`${host}:${port} ${code === 'EADDRINUSE' ? 'is already in use' : `can't be served on: ${message}`}`),
    )
    process.exitCode = CANNOT_START
  }
}

/** The first line of a message is what happened. */
function report(error: unknown): void {
  process.stderr.write(`gtin-service: ${(error as Error).message.split('\n')[0]}\n`)
}
