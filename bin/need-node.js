/**
 * Finds a Node that can run the program: this one, or in a checkout the one that came with `npm ci`. Plain JavaScript, imported
 * before anything that an old Node can't read.
 *
 * A checkout runs its TypeScript sources, which takes type stripping; the package runs what was built of them.
 */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The first Node that strips types without a flag. */
const STRIPS_TYPES = '22.18'

/** Whether this is a checkout of the project; the package has no sources. */
export const isCheckout = existsSync(new URL('../src/main.ts', import.meta.url))

const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
const needed = isCheckout ? STRIPS_TYPES : /^>=(\d+\.\d+)/.exec(manifest.engines.node)[1]
const [major, minor] = process.versions.node.split('.').map(Number)
const [neededMajor, neededMinor] = needed.split('.').map(Number)

if (major < neededMajor || (major === neededMajor && minor < neededMinor)) {
  const own = isCheckout ? ownNode() : null
  if (own !== null) await runBy(own)
  const advice = isCheckout
    ? `can't run the TypeScript sources. Run 'npm ci' without --ignore-scripts: it brings the Node that can. Or use Node >= ${needed}.`
    : `is too old: ${manifest.name} ${manifest.version} needs Node >= ${needed}.`
  console.error(`banyan: Node ${process.versions.node} ${advice}`)
  process.exit(1)
}

/** The Node that came with `npm ci`; null where there is none, or this is it. */
function ownNode() {
  const path = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url))
  return existsSync(path) && realpathSync(path) !== realpathSync(process.execPath) ? path : null
}

/** Runs the same command by another Node, with its streams, signals and exit code. Never resolves. */
function runBy(node) {
  return new Promise(() => {
    const child = spawn(node, process.argv.slice(1), { stdio: 'inherit' })
    child.once('error', (error) => {
      console.error(`banyan: ${node}: ${error.message}`)
      process.exit(1)
    })
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) {
      process.on(signal, () => {
        // What is pressed at a terminal goes to both processes: handed on, it would count twice.
        if (signal === 'SIGTERM' || !process.stdin.isTTY) child.kill(signal)
      })
    }
    child.once('exit', (code, signal) => {
      if (signal === null) process.exit(code)
      process.removeAllListeners(signal)
      process.kill(process.pid, signal)
    })
  })
}
