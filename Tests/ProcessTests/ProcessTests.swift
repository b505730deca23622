import Testing

/// Tests of the program itself: real processes, real sockets, real files, real signals.
///
/// They run one after the other, so that one's load is not another's failure.
@Suite(.serialized) struct ProcessTests {}
