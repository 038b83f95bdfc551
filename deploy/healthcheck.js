/**
 * The HEALTHCHECK of the images, which have no curl: exit 0 where a URL answers 2xx in time, else 1 and one line.
 *
 * `node healthcheck.js URL`. Plain JavaScript: run every few seconds, it has no types to be stripped first.
 */
const WITHIN_MS = 1500

const url = process.argv[2]
if (url === undefined || !URL.canParse(url)) {
  console.error('usage: node healthcheck.js URL')
  process.exit(2)
}

try {
  const answer = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(WITHIN_MS) })
  if (!answer.ok) throw new Error(`${answer.status} ${(await answer.text()).slice(0, 500)}`)
} catch (error) {
  console.error(`${url}: ${error.cause?.code ?? error.message}`)
  process.exitCode = 1
}
