/// The version of etcd's API that clients are told. They choose by it what they may ask for.
public enum EtcdVersion {
    public static let server = "3.4.23"
    public static let cluster = "3.4.0"
}
