DROP TABLE sign_in_links;
DROP TABLE user_preferences;
