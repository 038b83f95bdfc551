/**
 * Request ids: in log lines, in error responses, and in the history of recent exchanges.
 */

/**
 * Makes ids that are unique in this process, and very likely among all; short enough to read aloud.
 * @param prefix what they begin with
 */
export function requestIds(prefix = ''): () => string {
  const boot = Math.floor(Math.random() * 36 ** 6)
    .toString(36)
    .padStart(6, '0')
  let counter = 0
  return () => {
    counter = (counter + 1) % Number.MAX_SAFE_INTEGER
    return `${prefix}${boot}-${counter.toString(36)}`
  }
}
