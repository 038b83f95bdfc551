/**
 * Runs the application as a process: `node legacy-mock/main.ts --listen 127.0.0.1:4001`.
 */
import { startLegacy } from './legacy.ts'
import { HELP, readOptions, UsageError } from './options.ts'

/** Prints one line and ends the process with status 1. */
function giveUp(line: string): never {
  console.error(`legacy-mock: ${line}`)
  process.exit(1)
}

function optionsOrExit() {
  try {
    return readOptions(process.argv.slice(2))
  } catch (error) {
    if (error instanceof UsageError) giveUp(`${error.message} (try --help)`)
    throw error
  }
}

function whyNot(error: NodeJS.ErrnoException, address: string): string {
  if (error.code === 'EADDRINUSE') return `${address} is in use by another program`
  if (error.code === 'EACCES') return `no permission to listen on ${address}`
  return `can't listen on ${address}: ${error.message}`
}

const options = optionsOrExit()
if (options === null) {
  process.stdout.write(HELP)
} else {
  const address = `${options.host}:${options.port}`
  const legacy = await startLegacy(options).catch((error: NodeJS.ErrnoException) => giveUp(whyNot(error, address)))
  let stopping = false
  const stop = (): void => {
    if (stopping) giveUp('running exchanges were cut off')
    stopping = true
    legacy.close().then(() => process.exit(0))
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  console.log(`legacy-mock ready ${legacy.url}`)
}
