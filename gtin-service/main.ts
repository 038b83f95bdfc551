/**
 * The process: `node gtin-service/main.ts --listen HOST:PORT`; its signals, its lines on the terminal, its exit status.
 */
import { startGtinService } from './service.ts'
import { helpText, readCommandLine, type Settings } from './settings.ts'

const BAD_USAGE = 2
const CANNOT_START = 1

const asked = readCommandLine(process.argv.slice(2))
if (asked.kind === 'help') process.stdout.write(helpText())
else if (asked.kind === 'mistakes') {
  for (const mistake of asked.mistakes) process.stderr.write(`gtin-service: ${mistake}\n`)
  process.exitCode = BAD_USAGE
} else await run(asked.settings)

async function run(settings: Settings): Promise<void> {
  // A terminal or a parent that went away must not end the lookups.
  process.stdout.on('error', () => {})
  process.stderr.on('error', () => {})
  try {
    const service = await startGtinService(settings)
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
